package check

import (
	"context"
	"strings"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/jobs"
)

// shared looks at what others have in the same Redis: a format that is not known, and specs that get in the way of this
// one. That a Redis does not answer was said already.
func (f *Findings) shared(ctx context.Context, spec *jobs.Spec, s *connect.Servers) {
	for _, err := range s.UnknownFormats(ctx) {
		f.add(Fail, err.Redis, "%v", err)
	}
	if conflicts, err := s.Conflicts(ctx, spec); err == nil {
		for _, c := range conflicts {
			f.add(Warn, "namespace", "%s", c)
		}
	}
	if n := spec.Namespace; n != "" {
		f.add(Pass, "namespace", "%s: keys begin with %s, queues are %s", string(n), n.Prefix(),
			strings.Join(n.Queues(), ", "))
	}
}
