-- A sync compares the company's whole list with ours: which connections its batches have named (docs/decisions/0060).

CREATE TABLE "syncs" (
    "id" UUID NOT NULL,
    "opened_at" TIMESTAMPTZ(3) NOT NULL,
    "closed_at" TIMESTAMPTZ(3),
    "active" INTEGER,
    "missing" INTEGER,

    CONSTRAINT "syncs_pkey" PRIMARY KEY ("id")
);
-- What was found when it was closed, and only then.
ALTER TABLE "syncs" ADD CONSTRAINT "syncs_counted_when_closed" CHECK (("closed_at" IS NULL) = ("active" IS NULL) AND ("closed_at" IS NULL) = ("missing" IS NULL));

CREATE TABLE "sync_entries" (
    "sync_id" UUID NOT NULL,
    "credentials_id" TEXT NOT NULL,

    CONSTRAINT "sync_entries_pkey" PRIMARY KEY ("sync_id", "credentials_id"),
    CONSTRAINT "sync_entries_sync_id_fkey" FOREIGN KEY ("sync_id") REFERENCES "syncs"("id") ON DELETE CASCADE ON UPDATE CASCADE
);
