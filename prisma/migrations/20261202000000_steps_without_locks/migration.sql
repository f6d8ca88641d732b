-- A step of the loop reads without locks and writes in one statement, which calls this when something that it has read was changed meanwhile.
-- The error rolls the statement back; the program makes the step again, with locks. The log of the server shows why.
CREATE FUNCTION "refuse_step"() RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION 'what this step had read was changed meanwhile: it is made again, with locks'
        USING ERRCODE = 'serialization_failure';
END $$;
