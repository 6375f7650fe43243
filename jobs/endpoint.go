package jobs

// Endpoint is a server that the spec names, and how it is logged in to.
type Endpoint struct {
	Field string // of the spec, that the fields of Access stand in: "postgres", "redis", "redis.queue"
	URL   Secret // complete, with the passwords of the files as they were when the spec was read
	Access
}

// Access is what a server is logged in to with beside its URL. All files are read again at each new connection, so
// that what replaces them is used without a restart. Two of one spec are equal if they name the same.
type Access struct {
	URLFile              string // that has the URL, in place of the spec; "": none
	PasswordFile         string // that has the password of the URL's user; "": none
	SentinelPasswordFile string // that has the password of the Sentinels; "": none
	TLS                  TLS
	SentinelTLS          TLS
}

// Reads reports whether a secret is read from a file.
func (a Access) Reads() bool { return a.URLFile+a.PasswordFile+a.SentinelPasswordFile != "" }

// TLS names the certificates of a connection. The files are PEM; the zero value has the authorities of the system and
// no certificate of ours.
type TLS struct {
	Off        bool   // no TLS, whatever the URL says: of the Sentinels
	CAFile     string // authorities that sign the server's certificate; "": the system's
	CertFile   string // our certificate, with those between it and its authority; "": none
	KeyFile    string // its key
	ServerName string // that the server's certificate is for; "": the host of the URL, or the address that is dialled
}

// IsZero reports whether nothing is said of TLS.
func (t TLS) IsZero() bool { return t == TLS{} }

// Name is what a field of Access is called in the spec: redis.password_file, redis.queue_password_file.
func (e Endpoint) Name(field string) string {
	if e.Field == "redis.queue" {
		return e.Field + "_" + field
	}
	return e.Field + "." + field
}
