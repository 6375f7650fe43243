package testserver

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner is the user that private servers run as: ourselves, unless we are root,
// which Postgres refuses and Redis should not be.
type owner struct {
	switched bool
	uid, gid uint32
	name     string
}

func findOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return &owner{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		return &owner{switched: true, uid: uint32(uid), gid: uint32(gid), name: name}, nil
	}
	return nil, fmt.Errorf("running as root and found neither a user postgres nor nobody to run private servers " +
		"as: start as an ordinary user")
}

func (o *owner) credential() *syscall.Credential {
	if !o.switched {
		return nil
	}
	return &syscall.Credential{Uid: o.uid, Gid: o.gid}
}

func (o *owner) give(path string) error {
	if !o.switched {
		return nil
	}
	return os.Chown(path, int(o.uid), int(o.gid))
}

// env is the environment of a private server: nothing of ours that could point
// it, or its tools, at another server.
func (o *owner) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"}
}
