export { empty, join, raw, Sql, default as sql } from 'sql-template-tag';
