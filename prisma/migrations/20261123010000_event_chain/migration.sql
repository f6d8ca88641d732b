-- Events become a chain: each holds the SHA-256 over its own content and the hash before it, the consent holds the last one. A row
-- that is altered, left out or put in afterwards shows (`reconsent verify`). src/store/event-hash.ts says the same text in TypeScript.

ALTER TABLE "consents" ADD COLUMN "event_hash" TEXT;
ALTER TABLE "events" ADD COLUMN "hash" TEXT;

-- What is there already is chained as it stands. In pg_temp: nothing of this stays behind.
CREATE FUNCTION pg_temp.canonical("value" JSONB) RETURNS TEXT LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE jsonb_typeof("value")
        WHEN 'object' THEN (SELECT '{' || coalesce(string_agg(to_json(pair.key)::text || ':' || pg_temp.canonical(pair.value), ',' ORDER BY pair.key COLLATE "C"), '') || '}' FROM jsonb_each("value") AS pair)
        WHEN 'array' THEN (SELECT '[' || coalesce(string_agg(pg_temp.canonical(item.value), ',' ORDER BY item.place), '') || ']' FROM jsonb_array_elements("value") WITH ORDINALITY AS item (value, place))
        ELSE "value"::text
    END;
END $$;

DO $$
DECLARE
    event RECORD;
    last_consent UUID;
    last_hash TEXT;
BEGIN
    FOR event IN SELECT * FROM "events" ORDER BY "consent_id", "seq" LOOP
        IF last_consent IS DISTINCT FROM event.consent_id THEN
            last_hash := '';
        END IF;
        last_hash := encode(sha256(convert_to(
            '["v1",' || to_json(last_hash)::text || ',' || to_json(event.consent_id::text)::text || ',' || event.seq || ',' || to_json(event.type)::text
            || ',' || to_json(to_char(event.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))::text || ',' || to_json(event.actor)::text
            || ',' || coalesce(to_json(event.reason)::text, 'null') || ',' || pg_temp.canonical(event.data) || ']', 'UTF8')), 'hex');
        last_consent := event.consent_id;
        UPDATE "events" SET "hash" = last_hash WHERE "consent_id" = event.consent_id AND "seq" = event.seq;
    END LOOP;
END $$;
UPDATE "consents" SET "event_hash" = last."hash"
FROM (SELECT DISTINCT ON ("consent_id") "consent_id", "hash" FROM "events" ORDER BY "consent_id", "seq" DESC) AS last
WHERE last."consent_id" = "consents"."id";

ALTER TABLE "events" ALTER COLUMN "hash" SET NOT NULL;
ALTER TABLE "events" ADD CONSTRAINT "events_hash_is_sha256" CHECK ("hash" ~ '^[0-9a-f]{64}$');

-- The application's role has no right to change events (`reconsent migrate` grants it none). This stops whoever has: the owner, and
-- installations with one role. The setting is for a repair that somebody answers for: it is meant to be found in a script.
CREATE FUNCTION "refuse_to_rewrite_events"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('reconsent.rewrite_events', true) = 'allowed' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'events are only ever added: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'For a repair: SET LOCAL reconsent.rewrite_events = ''allowed''.';
END $$;
-- For each statement: it costs nothing, and a statement that finds no row is refused as well.
CREATE TRIGGER "events_are_only_added" BEFORE UPDATE OR DELETE OR TRUNCATE ON "events"
    FOR EACH STATEMENT EXECUTE FUNCTION "refuse_to_rewrite_events"();
