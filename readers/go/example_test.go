package reader_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	reader "github.com/stokerhq/stoker/readers/go"
)

// In tests and in development values come from a map.
func ExampleMemory() {
	r := reader.New(reader.Config{Backend: reader.Memory{"product:42": []byte(`{"id":42,"price":1.50}`)}})
	defer r.Close()
	product := &reader.Job{Name: "product", Key: "product:{id}", Freshness: 5 * time.Minute,
		Load: func(context.Context, reader.Key) ([]byte, error) { return nil, nil }} // there is no other product
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products/{id}", func(w http.ResponseWriter, req *http.Request) {
		r.Serve(w, req, product, reader.Key{"id": req.PathValue("id")})
	})
	for _, id := range []string{"42", "7"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/products/"+id, nil))
		fmt.Println(w.Code, w.Body, w.Header().Get("Cache-Status"), w.Header().Get("Cache-Control"))
	}
	// Output:
	// 200 {"id":42,"price":1.50} stoker; hit max-age=300
	// 404 {"detail":"not found"} stoker; fwd=uri-miss; detail=absent no-store
}
