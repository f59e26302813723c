Rails.application.routes.draw do
  root "greetings#show"
end
