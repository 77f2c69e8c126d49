/** The package has no types: what it makes of a document is known only at run time. */
declare module 'swagger-client';
