-- After the row instead of before it: where anything runs before an update, Postgres computes generated columns anew, and
-- `version_order` is part of a key. Deciding of a release then locked its row against everybody who refers to it, such as
-- a rollout that plans a way back to it, under the lock for which a block waits.
DROP TRIGGER releases_never_change ON releases;
CREATE TRIGGER releases_never_change AFTER UPDATE ON releases
  FOR EACH ROW WHEN ((NEW.id, NEW.product_id, NEW.version, NEW.envelope, NEW.payload, NEW.payload_sha256, NEW.manifest,
                      NEW.published_at, NEW.published_by_type, NEW.published_by_id)
    IS DISTINCT FROM (OLD.id, OLD.product_id, OLD.version, OLD.envelope, OLD.payload, OLD.payload_sha256, OLD.manifest,
                      OLD.published_at, OLD.published_by_type, OLD.published_by_id)
    OR (OLD.approved_at IS NOT NULL AND (NEW.approved_at, NEW.approved_by_type, NEW.approved_by_id)
                                        IS DISTINCT FROM (OLD.approved_at, OLD.approved_by_type, OLD.approved_by_id)))
  EXECUTE FUNCTION refuse_release_change('a published release never changes');
