package encode

import "slices"

// Append appends the JSON of one non-NULL wire value to dst. It keeps no
// reference to raw. When it fails it returns dst as it was.
type Append func(dst, raw []byte) ([]byte, error)

// kind is one scalar type that is encoded from its wire bytes.
type kind struct {
	oid    uint32
	array  uint32 // OID of its array type; 0: none
	name   string
	append Append
	pack   pack // nil: in binary formats it is the text that its JSON holds
	text   bool // the wire bytes are the text itself
}

// kinds lists every such type, with the OIDs of Postgres' pg_type.dat, which
// never change. What is missing here on purpose: types whose OIDs differ from
// database to database (enums, composites, domains inside arrays, citext,
// hstore), and rare ones whose text is laborious (ranges, inet, xml, money).
var kinds = [...]kind{
	{16, 1000, "bool", appendBool, packBool, false},
	{17, 1001, "bytea", appendBytea, packBytea, false},
	{18, 1002, `"char"`, appendChar, packChar, false},
	{19, 1003, "name", appendText, nil, true},
	{20, 1016, "int8", appendInt8, packInt8, false},
	{21, 1005, "int2", appendInt2, packInt2, false},
	{23, 1007, "int4", appendInt4, packInt4, false},
	{25, 1009, "text", appendText, nil, true},
	{26, 1028, "oid", appendOID, packOID, false},
	{114, 199, "json", appendJSON, packJSON, false},
	{700, 1021, "float4", appendFloat4, packFloat4, false},
	{701, 1022, "float8", appendFloat8, packFloat8, false},
	{705, 0, "unknown", appendText, nil, true},
	{1042, 1014, "bpchar", appendText, nil, true},
	{1043, 1015, "varchar", appendText, nil, true},
	{1082, 1182, "date", appendDate, nil, false},
	{1083, 1183, "time", appendTime, nil, false},
	{1114, 1115, "timestamp", appendTimestamp, nil, false},
	{1184, 1185, "timestamptz", appendTimestamptz, nil, false},
	{1186, 1187, "interval", appendInterval, nil, false},
	{1266, 1270, "timetz", appendTimetz, nil, false},
	{1700, 1231, "numeric", appendNumeric, nil, false},
	{2950, 2951, "uuid", appendUUID, nil, false},
	{3802, 3807, "jsonb", appendJSONB, packJSONB, false},
}

// scalar returns the kind of a scalar type, nil when it is none of ours.
func scalar(oid uint32) *kind {
	i, ok := slices.BinarySearchFunc(kinds[:], oid, func(k kind, oid uint32) int { return int(k.oid) - int(oid) })
	if !ok {
		return nil
	}
	return &kinds[i]
}

// element returns the kind whose array type this is, nil when there is none.
func element(oid uint32) *kind {
	for i := range kinds {
		if kinds[i].array == oid && oid != 0 {
			return &kinds[i]
		}
	}
	return nil
}

// ForOID returns the JSON encoder of a type that is encoded from its wire bytes; ok
// is false for every other type: its column must be turned into JSON by
// Postgres (to_json), and then arrives as json (OID 114).
func ForOID(oid uint32) (Append, bool) {
	if k := scalar(oid); k != nil {
		return k.append, true
	}
	if k := element(oid); k != nil {
		return arrayOf(k, nil), true
	}
	return nil, false
}
