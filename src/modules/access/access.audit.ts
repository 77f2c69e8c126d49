declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'operation.denied': { before: null; after: null };
    'operation.failed': { before: null; after: null };
    'api_token.created': {
      before: null;
      after: {
        role: string | null;
        permissions: readonly string[];
        clusterId: string | null;
        highRisk: boolean;
        allowedAddresses: readonly string[];
        expiresAt: string | null;
      };
    };
    'api_token.revoked': { before: { revokedAt: null }; after: { revokedAt: string } };
    'bootstrap_token.used': { before: null; after: { operation: string } };
  }
}

export {};
