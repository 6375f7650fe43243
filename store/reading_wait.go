package store

import "context"

type waitKey struct{}

// OnWait has fn told why a reading below ctx waits before it asks the database for more; nil says that it goes on.
func OnWait(ctx context.Context, fn func(reason *string)) context.Context {
	return context.WithValue(ctx, waitKey{}, fn)
}

// NoteWait tells whoever wants to know why a reading waits; "" says that it goes on.
func NoteWait(ctx context.Context, reason string) {
	fn, is := ctx.Value(waitKey{}).(func(*string))
	switch {
	case !is:
	case reason == "":
		fn(nil)
	default:
		fn(&reason)
	}
}
