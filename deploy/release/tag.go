package main

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// imageTag is the image's name. Tags have no plus sign, which versions may have.
func imageTag(version string) (name.Tag, error) {
	return name.NewTag("stoker:" + strings.ReplaceAll(version, "+", "-"))
}
