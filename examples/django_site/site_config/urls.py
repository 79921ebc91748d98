"""The pages."""
from answers import views
from django.urls import path

urlpatterns = [path("ask", views.ask), path("ask-all", views.ask_all)]
