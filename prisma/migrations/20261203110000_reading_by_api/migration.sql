-- The API lists consents by bank, and those that have changed since an instant. Writers wait until the indexes are built: seconds for a million
-- rows.

CREATE INDEX "consents_provider_id_id_idx" ON "consents"("provider_id", "id");
-- Events are only added, so an instant's events lie together: an index of ranges of pages is enough, costs a write next to nothing, and stays
-- small. Pages that are not summarised yet are read.
CREATE INDEX "events_at_idx" ON "events" USING BRIN ("at") WITH (autosummarize = on);
