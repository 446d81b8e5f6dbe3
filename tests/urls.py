from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/copilotkit", include("copilotkit_django.urls")),
    path("admin/", admin.site.urls),
]
