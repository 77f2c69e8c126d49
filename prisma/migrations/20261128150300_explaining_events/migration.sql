-- Why an item stands in a snapshot: the latest event that set it, of one resource and kind, however many others it has.
CREATE INDEX audit_events_of_resource ON audit_events (resource_id, action, occurred_at DESC, id DESC) WHERE outcome = 'success';
CREATE INDEX node_join_requests_approved_node ON node_join_requests (approved_node_id) WHERE approved_node_id IS NOT NULL;
