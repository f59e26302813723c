from django.urls import path

from orders import views

urlpatterns = [
    path("order/<int:number>", views.order),
    path("orders", views.orders),
    path("job/<int:number>", views.job),
    path("done", views.done),
]
