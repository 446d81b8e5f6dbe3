from django.contrib import admin

from demo_project.models import Todo


@admin.register(Todo)
class TodoAdmin(admin.ModelAdmin):
    list_display = ("title", "done", "scope", "created_at")
    list_filter = ("done",)
    search_fields = ("title", "scope")
    readonly_fields = ("created_at",)
    date_hierarchy = "created_at"
