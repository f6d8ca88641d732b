-- Keys of the API for the company's own systems (docs/decisions/0054). The key itself is shown once and stored nowhere. A release that does not
-- know the table goes on with the keys of API_KEYS_SHA256.

CREATE TABLE "api_keys" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "scopes" TEXT[] NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "api_keys_hash_key" ON "api_keys"("hash");
-- A name is free again when its key is revoked. Each process reads the keys that are not, every few seconds.
CREATE UNIQUE INDEX "api_keys_living" ON "api_keys"("name") WHERE "revoked_at" IS NULL;
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_hash_is_sha256" CHECK (octet_length("hash") = 32);
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_has_scopes" CHECK (cardinality("scopes") > 0);
