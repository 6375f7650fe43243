-- A music shop with the names and shapes of the well-known Chinook sample; all rows are made up.
CREATE TABLE "Artist" ("ArtistId" int PRIMARY KEY, "Name" varchar(120));
CREATE TABLE "Album" ("AlbumId" int PRIMARY KEY, "Title" varchar(160) NOT NULL,
  "ArtistId" int NOT NULL REFERENCES "Artist");
CREATE TABLE "Genre" ("GenreId" int PRIMARY KEY, "Name" varchar(120));
CREATE TABLE "Track" ("TrackId" int PRIMARY KEY, "Name" varchar(200) NOT NULL, "AlbumId" int REFERENCES "Album",
  "GenreId" int REFERENCES "Genre", "Milliseconds" int NOT NULL, "UnitPrice" numeric(10,2) NOT NULL);
CREATE TABLE "Customer" ("CustomerId" int PRIMARY KEY, "FirstName" text NOT NULL, "LastName" text NOT NULL,
  "Email" text NOT NULL UNIQUE, "Country" text);
CREATE TABLE "Invoice" ("InvoiceId" int PRIMARY KEY, "CustomerId" int NOT NULL REFERENCES "Customer",
  "InvoiceDate" timestamp NOT NULL, "Total" numeric(10,2) NOT NULL);
CREATE TABLE "InvoiceLine" ("InvoiceLineId" int PRIMARY KEY, "InvoiceId" int NOT NULL REFERENCES "Invoice",
  "TrackId" int NOT NULL REFERENCES "Track", "UnitPrice" numeric(10,2) NOT NULL, "Quantity" int NOT NULL);
INSERT INTO "Artist" SELECT i, 'Artist ' || i FROM generate_series(1, 80) i;
INSERT INTO "Album" SELECT i, 'Album ' || i, 1 + i % 80 FROM generate_series(1, 200) i;
INSERT INTO "Genre" SELECT i, 'Genre ' || i FROM generate_series(1, 12) i;
INSERT INTO "Track" SELECT i, 'Track ' || i, 1 + i % 200, 1 + i % 12, 60000 + i * 37 % 240000, 0.99
  FROM generate_series(1, 2000) i;
INSERT INTO "Customer" SELECT i, 'First' || i, 'Last' || i, 'c' || i || '@example.org', 'Country ' || i % 9
  FROM generate_series(1, 60) i;
INSERT INTO "Invoice" SELECT i, 1 + i % 60, '2024-01-01'::timestamp + i * interval '7 hours', i % 25
  FROM generate_series(1, 400) i;
INSERT INTO "InvoiceLine" SELECT i, 1 + i % 400, 1 + i * 7 % 2000, 0.99, 1 FROM generate_series(1, 2000) i;
CREATE INDEX ON "Track" ("AlbumId");
CREATE INDEX ON "Album" ("ArtistId");
CREATE INDEX ON "InvoiceLine" ("InvoiceId");
CREATE INDEX ON "Invoice" ("CustomerId");
ANALYZE;
