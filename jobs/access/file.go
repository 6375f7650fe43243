package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/stokerhq/stoker/jobs"
)

// largest is how many bytes a secret may have. What is larger is another file.
const largest = 64 << 10

// ReadSecret returns the text of a file that holds one secret, without the line breaks at its end. The error is a
// jobs.Mistake and has nothing of the text.
func ReadSecret(path string) (string, error) {
	data, err := readFile(path, largest)
	if err != nil {
		return "", err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case bytes.IndexByte(data, 0) >= 0 || !utf8.ValidString(text):
		return "", wrong("is no text file: it has bytes that are not UTF-8", "save the secret alone in it, as UTF-8")
	case strings.TrimSpace(text) == "":
		return "", wrong("is empty", "write the secret into it, as one line")
	case strings.ContainsAny(text, "\r\n"):
		return "", wrong("has several lines", "write the secret alone into it, as one line")
	}
	return text, nil
}

// readFile reads a file that is not too large, and never waits for one that is a pipe or a device.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(err)
	}
	switch {
	case info.IsDir():
		return nil, wrong("is a folder", "name the file in it")
	case !info.Mode().IsRegular():
		return nil, wrong("is no regular file", "it is read again at each new connection: a pipe or a device "+
			"cannot be")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if int64(len(data)) > most {
		return nil, wrong(fmt.Sprintf("is larger than %d bytes", most), "name the right file")
	}
	return data, nil
}

// unreadable says why a file cannot be read. The path is named by the field already.
func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return wrong("does not exist", "a relative path is looked for from the spec's folder")
	case errors.Is(err, fs.ErrPermission):
		return wrong("may not be read by the user that Stoker runs as", "change its owner, its group or its mode")
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &jobs.Mistake{Message: "cannot be read", Detail: err.Error()}
}

// Exposed says that other users of the machine can read a secret's file; "" if they cannot, or it cannot be told.
func Exposed(path string) string {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return ""
	}
	return fmt.Sprintf("can be read by every user of the machine (mode %04o)", info.Mode().Perm())
}
