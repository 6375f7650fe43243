package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom lists each module of go.sum with its checksum, in CycloneDX's JSON.
func (c *config) sbom(context.Context, string) error {
	sums, err := os.ReadFile(filepath.Join(c.source, "go.sum"))
	if err != nil {
		return err
	}
	modules, err := goSum(string(sums))
	if err != nil {
		return err
	}
	id := sha256.Sum256(append(sums, c.version+c.commit...))
	bom := cdx.NewBOM()
	bom.SerialNumber = uuidOf(id)
	bom.Metadata = &cdx.Metadata{Timestamp: c.date.Format(time.RFC3339), Component: &cdx.Component{
		BOMRef: "pkg:golang/github.com/stokerhq/stoker@" + c.version, Type: cdx.ComponentTypeApplication,
		Name: "github.com/stokerhq/stoker", Version: c.version,
		PackageURL: "pkg:golang/github.com/stokerhq/stoker@" + c.version,
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}}
	components := make([]cdx.Component, len(modules))
	for i, m := range modules {
		url := "pkg:golang/" + m.path + "@" + m.version
		components[i] = cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version,
			PackageURL: url, Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: m.sum}}}
	}
	bom.Components = &components
	out, err := os.Create(filepath.Join(c.out, "stoker_"+c.version+"_sbom.cdx.json"))
	if err != nil {
		return err
	}
	defer out.Close()
	if err := cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return err
	}
	return out.Close()
}

// uuidOf makes a UUID of version 4's form from a hash.
func uuidOf(id [sha256.Size]byte) string {
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// module is a line of go.sum; sum is in hexadecimal digits.
type module struct{ path, version, sum string }

// goSum reads the modules of go.sum in order. Of those whose go.mod alone was read, none is part of a build.
func goSum(text string) ([]module, error) {
	var list []module
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("go.sum: %q is not a module, a version and a sum", strings.TrimSpace(line))
		}
		if strings.HasSuffix(f[1], "/go.mod") {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(f[2], "h1:"))
		if err != nil {
			return nil, fmt.Errorf("go.sum: sum of %s: %w", f[0], err)
		}
		list = append(list, module{f[0], f[1], fmt.Sprintf("%x", sum)})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].path+"@"+list[i].version < list[j].path+"@"+list[j].version })
	return list, nil
}
