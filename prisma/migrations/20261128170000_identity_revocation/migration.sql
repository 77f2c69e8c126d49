-- Keys of nodes that are revoked apart from the membership. Adds only.

-- When the certificate that is noted on the identity was revoked, by whichever revocation.
ALTER TABLE node_identities ADD COLUMN certificate_revoked_at timestamptz(3);
UPDATE node_identities AS i SET certificate_revoked_at = i.revoked_at WHERE i.revoked_at < i.certificate_not_after;
-- What every call of a node asks: hardly a node has any.
CREATE INDEX node_identities_revoked ON node_identities (cluster_id, node_id) WHERE identity_status = 'revoked';

-- The key that asked for the certificate. NULL: a service from before this column issued it, and nobody knows.
ALTER TABLE node_certificates ADD COLUMN identity_id uuid
  CONSTRAINT node_certificates_identity REFERENCES node_identities (id);
UPDATE node_certificates AS n SET identity_id = (
  SELECT i.id FROM node_identities AS i
   WHERE i.cluster_id = n.cluster_id AND i.node_id = n.node_id AND i.created_at <= n.issued_at
   ORDER BY i.created_at DESC, i.id DESC LIMIT 1);

-- The one key that was revoked. NULL: the membership was, with all of them.
ALTER TABLE revocations ADD COLUMN identity_id uuid CONSTRAINT revocations_identity REFERENCES node_identities (id);
