-- The credentials_id of the connection that this one took the place of, as an import said. Kept, because the older one may be imported
-- later. A release that does not know the column leaves it alone.

ALTER TABLE "consents" ADD COLUMN "supersedes" TEXT;
CREATE INDEX "consents_supersedes" ON "consents"("supersedes") WHERE "supersedes" IS NOT NULL;
