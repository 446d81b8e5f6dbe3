from django.urls import include, path

urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]
