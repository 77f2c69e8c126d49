-- What a version must have shown in a cluster before `stable` may point to it; empty: the defaults of the service.
ALTER TABLE cluster_policies ADD COLUMN stable_promotion jsonb NOT NULL DEFAULT '{}';
