-- What Python's repr() prints of a value, for keys that a library makes of arguments. Each function is IMMUTABLE, so that
-- an index on the expression makes a refresh of one key cheap. docs/readers.md says what is not covered.

CREATE FUNCTION python_repr(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN value IS NULL THEN 'None'
        WHEN strpos(value, '''') > 0 AND strpos(value, '"') = 0 THEN '"' || escaped || '"'
        ELSE '''' || replace(escaped, '''', '\''') || ''''
    END
    FROM (SELECT replace(replace(replace(replace(value, '\', '\\'), E'\n', '\n'), E'\r', '\r'), E'\t', '\t')) e(escaped)
$$;

CREATE FUNCTION python_repr(value boolean) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value THEN 'True' WHEN NOT value THEN 'False' ELSE 'None' END
$$;

CREATE FUNCTION python_repr(value bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(value::text, 'None')
$$;

CREATE FUNCTION python_repr(value integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(value::text, 'None')
$$;

CREATE FUNCTION python_repr(value smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(value::text, 'None')
$$;

CREATE FUNCTION python_repr(value numeric) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce('Decimal(''' || value::text || ''')', 'None')
$$;

CREATE FUNCTION python_repr(value double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(value::text || CASE WHEN value::text ~ '^-?[0-9]+$' THEN '.0' ELSE '' END, 'None')
$$;

CREATE FUNCTION python_repr(value uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce('UUID(''' || value::text || ''')', 'None')
$$;

CREATE FUNCTION python_repr(value date) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce('datetime.date(' || date_part('year', value)::int::text || ', ' ||
        date_part('month', value)::int::text || ', ' || date_part('day', value)::int::text || ')', 'None')
$$;
