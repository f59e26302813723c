// A web server with the router chi.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"
)

func main() {
	router := chi.NewRouter()
	router.Get("/", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(answer, "Hello from Go on %s!\n", os.Getenv("DYNO"))
	})
	router.Get("/hello/{name}", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(answer, "Hello, %s!\n", chi.URLParam(request, "name"))
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), router))
}
