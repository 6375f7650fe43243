package encode_test

import (
	"strings"
	"testing"
)

// hard lists, a type, the SQL literals at which encoders go wrong.
var hard = []struct {
	typ    string
	values []string
}{
	{"bool", []string{"t", "f"}},
	{"int2", []string{"0", "-1", "32767", "-32768"}},
	{"int4", []string{"0", "-1", "2147483647", "-2147483648"}},
	{"int8", []string{"0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"}},
	{"oid", []string{"0", "1", "2147483648", "4294967295"}},
	{"float4", []string{
		"0", "-0", "1", "-1.5", "0.1", "NaN", "Infinity", "-Infinity", "99999.99", "999999", "999999.94", "1e6", "-1e6",
		"1234567",
		"16777216", "8388607.5", "4194303.75", "33554432", "0.0001", "0.00009999999", "0.00010000001", "1e-5", "1e-45",
		"3e-45", "1.1754944e-38",
		"1.1754942e-38", "3.4028235e38", "1e10", "5e10", "8.5899346e9", "6.7108864e7", "6.7108860e7", "1e11",
		"123456789",
	}},
	{"float8", []string{
		"0", "-0", "1", "-1.5", "0.1", "0.30000000000000004", "NaN", "Infinity", "-Infinity", "100000", "1e14",
		"999999999999999",
		"999999999999999.9", "1e15", "-1e15", "1e16", "1e22", "1e23", "-1e23", "9e22", "1.0000000000000001e23",
		"123456789012345678",
		"0.0001", "0.00009999999999999999", "0.00010000000000000002", "1e-5", "1e-7", "123456.789e-10", "5e-324",
		"1e-323",
		"2.2250738585072014e-308", "2.2250738585072011e-308", "1.7976931348623157e308", "9007199254740991",
		"9007199254740992",
		"9007199254740993", "18014398509481988", "18014398509481992", "18014398509481990", "4503599627370496.5",
		"4503599627370495.5",
		"2e23", "4e23", "8.41e21", "2.0e-44", "1.0000000000000002", "4.35", "1e100", "1e-100", "5.684341886080801e-14",
	}},
	{"numeric", []string{
		"0", "0.0", "0.00", "-0", "1", "-1", "1.50", "-0.5", "0.0001", "0.00001", "0.10000000", "9999", "10000",
		"10001", "99990000", "100000000",
		"123456789012345678901234567890.123456789012345678901234567890", "-0.000000000000000000000000000001", "1e30",
		"1e-30", "1e1000",
		"1e131071", "1e-16383", "-9.999e131071", "NaN", "Infinity", "-Infinity", "1000.0001", "12345.6789", "0.5000",
		"0.05", "0.005", "0.0005", "1.00010",
	}},
	{"text", []string{
		"", " ", "plain", `"`, `\`, `\"`, `a"b\c`, "tab\there", "line\nfeed", "\r\b\f\v", "\x01\x1f\x7f", "</script>&'",
		"\u0080\u00e9\u2028\u2029",
		"日本語", "😀", "\ufeff", "\uffff", "\U0010ffff", "null", "{}", strings.Repeat(`long "text" `, 500),
	}},
	{"varchar", []string{"", `a"b`, "é"}},
	{"varchar(3)", []string{"", "abc"}},
	{"bpchar", []string{"", "a", "a  "}},
	{"char(5)", []string{"", "a", `"`, "é", "12345"}},
	{"name", []string{"", `a"b\`, strings.Repeat("é", 31)}},
	{`"char"`, []string{"", "a", `"`, "\x01", "\x7f"}},
	{"uuid", []string{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
	{"bytea", []string{"", `\x00`, `\xdeadbeef`, `\x` + strings.Repeat("0f", 300)}},
	{"date", []string{
		"infinity", "-infinity", "2000-01-01", "1999-12-31", "2024-02-29", "1900-02-28", "1900-03-01", "2000-02-29",
		"0001-01-01", "0001-12-31 BC",
		"0001-01-01 BC", "0044-03-15 BC", "4714-11-24 BC", "0401-03-01 BC", "0401-02-28 BC", "0004-02-29",
		"0005-02-29 BC", "9999-12-31", "10000-01-01", "12345-06-07", "5874897-12-31",
	}},
	{"time", []string{"00:00", "24:00", "23:59:59.999999", "12:00:00.1", "12:00:00.000001", "12:00:00.100100",
		"01:02:03"}},
	{"time(2)", []string{"12:00:00.126"}},
	{"timetz", []string{
		"00:00+00", "24:00:00-15:59:59", "12:00:00.10+05:30", "12:00:00.10+05:30:15", "12:00-08", "12:00-00:30",
		"12:00+00:00:01", "12:00-00:00:01", "12:00+15:59:59", "23:59:59.999999+14",
	}},
	{"timestamp", []string{
		"infinity", "-infinity", "2000-01-01", "1999-12-31 23:59:59.999999", "2024-02-29 12:34:56.7", "1970-01-01",
		"0001-01-01 00:00:00.5 BC",
		"4714-11-24 00:00:00 BC", "4714-11-24 00:00:00.000001 BC", "0001-12-31 23:59:59.999999 BC", "10000-01-01",
		"294276-12-31 23:59:59.999999", "epoch",
	}},
	{"timestamp(3)", []string{"2024-02-29 12:34:56.7891"}},
	{"timestamptz", []string{
		"infinity", "-infinity", "2000-01-01 00:00+00", "1999-12-31 23:59:59.999999+00", "2024-02-29 12:34:56.7+05:30",
		"1883-11-18 12:00:00-05",
		"0001-01-01 00:00:00.5+00 BC", "4714-11-24 00:00:00+00 BC", "10000-01-01 00:00+00",
		"294276-12-31 23:59:59.999999+00", "epoch",
	}},
	{"interval", []string{
		"0", "1 year", "2 years", "-1 year", "1 mon", "-1 mon", "11 mons", "-13 mons", "1 day", "-1 day",
		"1 year -1 day", "-1 year 1 day",
		"1 year -2 mons 3 days -04:05:06.7", "-1 days +00:00:01", "-1 days -00:00:01", "1 day -00:00:01",
		"-1 mon 2 days 03:00:00", "-00:00:00.000001",
		"00:00:00.1", "99:59:59", "100:00:00", "-100:00:00", "123456:00:00.5", "-2147483648 months",
		"2147483647 months", "-2147483648 days",
		"178956970 years 7 mons 2147483647 days 2562047788:00:54.775806", "-2562047788:00:54.775807",
		"2562047788:00:54.775807", "-1 year +1 mon",
	}},
	{"json", []string{
		"null", "true", "1", "1.50", " 1 ", "12345678901234567890.10", `""`, `"a\u0041\n\/\\\"\b\f\r\t"`,
		`"\ud83d\ude00"`, ` "é" `, "{}", "[]", `{"a":1, "a" : 2}`,
		"\n [1,\t2] ", `{"b": "\u2028"}`, `"\u00e9\u20ac"`,
	}},
	{"jsonb", []string{"null", "true", "1.50", `""`, `"a\u0041\n\/\\\"\b\f\r\t"`, `"\ud83d\ude00"`, "{}", "[]",
		`{"b":1, "a" : [2,null]}`, "123456789012345678901234567890"}},
	{"int4[]", []string{
		"{}", "{NULL}", "{1}", "{1,NULL,3}", "[0:1]={1,NULL}", "{{1,2},{3,4}}", "{{1},{2}}", "{{1,2}}",
		"[5:6][-1:0]={{1,2},{NULL,4}}",
		"{{{1,2},{3,4}},{{5,6},{7,8}}}", "{{{{{{1}}}}}}", "{{{{{{1,2},{3,4}}}}}}",
	}},
	{"text[]", []string{"{}", `{""}`, `{NULL,"NULL"}`, `{"a\"b","c\\d","e,f","{"}`, `{{a,b},{c,NULL}}`}},
	{"varchar(3)[]", []string{"{abc,NULL}"}},
	{"char(3)[]", []string{"{a,NULL}"}},
	{"json[]", []string{"{}", `{"{\"a\" :1}",NULL,"null"," 1 "}`}},
	{"jsonb[]", []string{"{}", `{"{\"a\" :1}",NULL,"null"}`, `{{"[1,2]"},{"\"x\""}}`}},
	{"numeric[]", []string{"{1.50,NaN,-Infinity,NULL,1e30}"}},
	{"float8[]", []string{"{NaN,-0,1e23,Infinity,0.1}"}},
	{"bytea[]", []string{`{"\\x01",NULL,"\\x"}`}},
	{"timestamptz[]", []string{`{infinity,"0001-01-01 00:00+00 BC","2024-02-29 12:34:56.7+05:30"}`}},
	{"timetz[]", []string{`{"24:00:00-15:59:59"}`}},
	{"interval[]", []string{`{"1 year -1 day","0"}`}},
	{`"char"[]`, []string{`{a,"\"",""}`}},
	{"oid[]", []string{"{1,4294967295}"}},
	{"bool[]", []string{"{t,f,NULL}"}},
	{"uuid[]", []string{"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"}},
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func TestHardValues(t *testing.T) {
	conn := connect(t)
	for _, h := range hard {
		t.Run(h.typ, func(t *testing.T) {
			for _, value := range h.values {
				compare(t, conn, "SELECT "+quoteLiteral(value)+"::"+h.typ+" AS v")
				if t.Failed() {
					t.Fatalf("the value was %q", value)
				}
			}
			compare(t, conn, "SELECT NULL::"+h.typ+" AS v")
		})
	}
}

// TestHighChar is about "char" above 127, which text input cannot write. The
// server prints it in octal since Postgres 15; see the package comment.
func TestHighChar(t *testing.T) {
	conn := connect(t)
	if conn.ParameterStatus("server_version") < "15" {
		t.Skip("Postgres 14 prints the byte itself, which is no UTF-8")
	}
	compare(t, conn, `SELECT i::"char" AS v FROM generate_series(-128, 127) i`)
}

func TestDomains(t *testing.T) {
	conn := connect(t)
	run(t, conn, `CREATE DOMAIN price AS numeric(10,2) CHECK (VALUE >= 0); CREATE DOMAIN tags AS text[]; CREATE DOMAIN doc AS jsonb`)
	compare(t, conn, `SELECT '1.5'::price AS v`)
	compare(t, conn, `SELECT '{a,NULL}'::tags AS v`)
	compare(t, conn, `SELECT '{"a":1}'::doc AS v`)
}

// TestRelabelledArray is about arrays that Postgres shows under another type's
// name: the column says varchar, the array itself may say text.
func TestRelabelledArray(t *testing.T) {
	conn := connect(t)
	compare(t, conn, `SELECT ARRAY['a', NULL]::text[]::varchar[] AS v`)
	compare(t, conn, `SELECT ARRAY['a', NULL]::name[]::text[] AS v`)
	compare(t, conn, `SELECT current_schemas(true) AS v`)
}
