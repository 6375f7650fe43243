CREATE TABLE supplier (id int PRIMARY KEY, v bigint NOT NULL);
CREATE TABLE item (id int PRIMARY KEY, supplier_id int NOT NULL, v bigint NOT NULL);
CREATE TABLE account (id int PRIMARY KEY, org int NOT NULL, balance bigint NOT NULL, v bigint NOT NULL);
CREATE TABLE member (id int PRIMARY KEY, org int NOT NULL, v bigint NOT NULL);
CREATE TABLE flag (id int PRIMARY KEY, v bigint NOT NULL);
ALTER TABLE account REPLICA IDENTITY FULL;
ALTER TABLE member REPLICA IDENTITY FULL;

-- A run that comes to row 1 waits while somebody holds the gate: its snapshot is older than what is committed meanwhile.
CREATE FUNCTION gate(id int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF id = 1 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
  RETURN 0;
END $$;
