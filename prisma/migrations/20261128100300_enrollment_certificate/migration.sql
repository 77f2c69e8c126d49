-- The certificate over the CSR of a join request: issued once, when the node first asks what became of an approved one.
ALTER TABLE node_join_requests ADD COLUMN certificate text
  CONSTRAINT node_join_requests_certificate CHECK (certificate IS NULL OR (csr IS NOT NULL AND status = 'approved'));
