-- The feed's order gets a table of its own: a position is given after the commit, by a sequencer (docs/decisions/0024). The columns
-- "position" and "transaction_id" of "events" stay: the release before reads its feed by them, and cursors it gave out are looked up there.

CREATE TABLE "event_positions" (
    "position" BIGINT NOT NULL,
    "consent_id" UUID NOT NULL,
    "seq" INTEGER NOT NULL,
    "chain" TEXT NOT NULL
);

-- Events that have no position yet. Filled by a trigger, so that the release before fills it, too; emptied by the sequencer. Its key is
-- random: whatever is restored or replicated into it meets no row that is there.
CREATE TABLE "unsequenced_events" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "consent_id" UUID NOT NULL,
    "seq" INTEGER NOT NULL,
    "added_at" TIMESTAMPTZ(6) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "unsequenced_events_pkey" PRIMARY KEY ("id")
);

-- With the rights of the tables' owner: the program's role may add events and need not be able to write here. The schema is the table's
-- own, whatever the session's search path says (pg_restore empties it).
CREATE FUNCTION "note_unsequenced_events"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.unsequenced_events (consent_id, seq) SELECT consent_id, seq FROM added', TG_TABLE_SCHEMA);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION "note_unsequenced_events"() FROM PUBLIC;

-- What is there already, in the order in which the release before told it. A consent's own events keep their order even where that did
-- not: a transaction may have had its number before it waited for the consent. Transactions with numbers that this server has not reached
-- come from another one, whose dump was restored here: they, and whatever was written before the last of them, come first.
-- As an aggregate the chain costs one pass. Neither function nor aggregate stays.
CREATE FUNCTION "feed_chain_step"("before" TEXT, "hash" TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS
    $$ SELECT left(encode(sha256(convert_to("before" || "hash", 'UTF8')), 'hex'), 16) $$;
CREATE AGGREGATE "feed_chain"(TEXT) (SFUNC = "feed_chain_step", STYPE = TEXT, INITCOND = '');

DO $$
DECLARE
    seen pg_snapshot;
    restored_up_to BIGINT;
BEGIN
    -- Older than the snapshot of the statements below: what they do not see is not older than this.
    seen := pg_current_snapshot();
    SELECT coalesce(max("position"), 0) INTO restored_up_to FROM "events" WHERE "transaction_id" >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint;

    INSERT INTO "event_positions" ("position", "consent_id", "seq", "chain")
    SELECT row_number() OVER feed, "consent_id", "seq", "feed_chain"("hash") OVER feed
    FROM (
        SELECT "consent_id", "seq", "hash",
            max(ARRAY[CASE WHEN "position" <= restored_up_to THEN 0 ELSE 1 END, "transaction_id", "position"])
                OVER (PARTITION BY "consent_id" ORDER BY "seq") AS "place"
        FROM "events"
    ) AS placed
    WINDOW feed AS (ORDER BY "place", "consent_id", "seq");
    ALTER TABLE "event_positions" ADD CONSTRAINT "event_positions_pkey" PRIMARY KEY ("position");
    CREATE UNIQUE INDEX "event_positions_consent_id_seq_key" ON "event_positions"("consent_id", "seq");

    -- Everybody waits from here on, and only for an index and what little was committed meanwhile. The strongest lock at once: to ask
    -- for a stronger one later would be a deadlock with whoever has read events and is about to add one. And not behind a dump that takes
    -- hours: everybody would wait behind us.
    BEGIN
        SET LOCAL lock_timeout = '5s';
        LOCK TABLE "events" IN ACCESS EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available THEN
        RAISE EXCEPTION 'a transaction (a dump?) has had the table events open for more than 5 s: nothing was changed, run this again when it has ended';
    END;
    CREATE TRIGGER "events_are_sequenced" AFTER INSERT ON "events" REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION "note_unsequenced_events"();
    INSERT INTO "unsequenced_events" ("consent_id", "seq")
    SELECT "consent_id", "seq" FROM "events" AS event
    WHERE "transaction_id" >= pg_snapshot_xmin(seen)::text::bigint
        AND NOT EXISTS (SELECT FROM "event_positions" AS place WHERE place."consent_id" = event."consent_id" AND place."seq" = event."seq")
    ORDER BY "transaction_id", "position";
END $$;

DROP AGGREGATE "feed_chain"(TEXT);
DROP FUNCTION "feed_chain_step"(TEXT, TEXT);

-- Without it, readers of a large feed would be planned as those of an empty one until autovacuum comes.
ANALYZE "event_positions";

-- A server to which all this was replicated counts transactions and the sequence anew: the same pair may come up again.
CREATE INDEX "events_transaction_id_position_idx" ON "events"("transaction_id", "position");
DROP INDEX "events_transaction_id_position_key";
