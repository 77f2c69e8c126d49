-- Which versions of the agent a cluster's policy allows, judged in SQL so that lists of nodes can show and filter by it.

-- A text whose bytes sort as versions do by SemVer 2.0 precedence; null for what is no version. Build metadata counts
-- for nothing. Numbers are padded; a release comes after its pre-releases ('~'), a number in a pre-release before a
-- word ('0' before '1'), and the separator '!' before every character of an identifier.
CREATE FUNCTION version_order(version text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
  SELECT lpad(p[1], 15, '0') || lpad(p[2], 15, '0') || lpad(p[3], 15, '0') || coalesce((
           SELECT string_agg(CASE WHEN i.part ~ '^[0-9]+$' THEN '0' || lpad(length(i.part)::text, 2, '0') || i.part
                                  ELSE '1' || i.part END, '!' ORDER BY i.place)
             FROM unnest(string_to_array(p[4], '.')) WITH ORDINALITY AS i (part, place)), '~')
    FROM regexp_match(version, '^v?(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})'
           '(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?'
           '(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$') AS p
);

CREATE FUNCTION version_orders(versions jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT coalesce(array_agg(version_order(v.version)), '{}') FROM jsonb_array_elements_text(versions) AS v (version));

ALTER TABLE cluster_memberships ADD COLUMN agent_version_order text COLLATE "C"
  GENERATED ALWAYS AS (version_order(agent_version)) STORED;

ALTER TABLE cluster_policies ADD COLUMN agent_version_policy jsonb NOT NULL DEFAULT '{}';
ALTER TABLE cluster_policies ADD COLUMN minimum_agent_version_order text COLLATE "C"
  GENERATED ALWAYS AS (version_order(agent_version_policy ->> 'minimum')) STORED;
ALTER TABLE cluster_policies ADD COLUMN blocked_agent_version_orders text[] COLLATE "C" NOT NULL
  GENERATED ALWAYS AS (version_orders(coalesce(agent_version_policy -> 'blocked', '[]'))) STORED;
