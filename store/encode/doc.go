// Package encode turns Postgres' binary wire values into JSON, byte for byte
// what row_to_json and to_json print in a session with timezone=UTC,
// datestyle=ISO, intervalstyle=postgres, bytea_output=hex,
// extra_float_digits=1 and client_encoding=UTF8, on Postgres 14 and newer.
//
// It writes MessagePack and CBOR too. There bool, integers, oid and floats are
// themselves (float4 in 32 bits, NaN and the infinities included), bytea is bytes,
// arrays are lists, and json and jsonb are the values that they stand for (packJSON
// says how numbers come out). All other types are the string that is in the JSON;
// numeric is one too, with all its digits, for neither format has a decimal number.
//
// A fixed set of common types is encoded here, without reflection and without
// an allocation a row (the table in types.go); ForOID refuses every other type, whose
// column Postgres itself must turn into JSON. The package does no I/O, and
// takes the bytes for what they may be: anything. Wrong bytes are an error, a
// *WireError, never a panic.
//
// Two corners are not as the server prints them, because the bytes cannot tell:
// the largest and the smallest interval of Postgres 16 and older, which newer
// ones read as infinity; and the "char" values above 127 of a Postgres 14,
// which are printed in octal, as Postgres 15 does.
package encode
