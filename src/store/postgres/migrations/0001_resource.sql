-- One resource is one row: an untag updates one row a target, however many keys it removes. The account is the first
-- column of every key, so that the table can be distributed by it. Text compares byte by byte, as the pages of a list
-- are ordered in every store.
CREATE TABLE resource (
    account_id     text COLLATE "C" NOT NULL,
    resource_type  text COLLATE "C" NOT NULL,
    resource_id    text COLLATE "C" NOT NULL,
    principal_name text COLLATE "C" NOT NULL,
    tags           jsonb NOT NULL,
    PRIMARY KEY (account_id, resource_type, resource_id)
);

-- Principal names are matched without regard to case, and kept as given.
CREATE UNIQUE INDEX resource_by_principal_name ON resource (account_id, resource_type, lower(principal_name));
