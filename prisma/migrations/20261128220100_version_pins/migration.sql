-- Nodes that an operator keeps on a version of a product, whatever is rolled out.
CREATE TABLE version_pins (
  cluster_id       uuid NOT NULL,
  node_id          uuid NOT NULL,
  product_id       uuid NOT NULL,
  release_id       uuid NOT NULL,
  version          text NOT NULL,
  reason           text NOT NULL CONSTRAINT version_pins_reason CHECK (length(reason) BETWEEN 1 AND 500),
  -- Exclusive: at this instant it holds no more, whether or not anybody has looked.
  expires_at       timestamptz(3),
  created_by_type  text NOT NULL,
  created_by_id    text NOT NULL,
  created_at       timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id, product_id),
  CONSTRAINT version_pins_member FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT version_pins_release FOREIGN KEY (product_id, release_id) REFERENCES releases (product_id, id)
);
