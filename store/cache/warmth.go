package cache

import "context"

// Sampler measures warmth: it looks whether a sample of the keys that the last
// complete run wrote is in Redis right now.
type Sampler struct {
	Ledger *Ledger
	Cache  *Cache
}

// Warmth returns how many of the sampled keys of job are present, of how many.
// Nothing is sampled before the first complete run.
func (s Sampler) Warmth(ctx context.Context, job string) (present, sampled int, err error) {
	keys, err := s.Ledger.Sample(ctx, job)
	if err != nil {
		return 0, 0, err
	}
	present, err = s.Cache.Present(ctx, keys)
	return present, len(keys), err
}
