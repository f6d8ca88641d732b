-- What is read a page at a time is read in the order of an index, however many consents there are. All that uses the table waits until the
-- indexes are built: some three seconds for a million rows. Locked at once, because a lock that grows would meet those of workers.
LOCK TABLE "consents" IN ACCESS EXCLUSIVE MODE;

-- Pages of due consents go on after (next_action_at, id): an import or a change of the policy dates very many consents alike.
CREATE INDEX "consents_due_in_order" ON "consents"("next_action_at", "id") WHERE "status" = 'active';
DROP INDEX "consents_due";
ALTER INDEX "consents_due_in_order" RENAME TO "consents_due";

-- Few consents are anything but active, and few users cannot be reached: `list` and the metrics ask for them.
CREATE INDEX "consents_not_active" ON "consents"("status", "id") WHERE "status" <> 'active';
CREATE INDEX "consents_unreached" ON "consents"("id") WHERE "email" IS NULL OR "next_action_reason" LIKE 'no-channel%';
