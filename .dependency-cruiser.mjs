/**
 * The arrows between the parts (docs/adr and STYLE say why). A module may import those below it; nothing in `common`
 * knows a module; rows of a table are reached through the module that owns it.
 */
const BELOW = {
  audit: [],
  access: [],
  authority: ['audit', 'access'],
  clusters: ['audit', 'access', 'authority'],
  nodes: ['audit', 'access', 'authority', 'clusters'],
  trust: ['audit', 'access', 'authority', 'clusters', 'nodes'],
  roles: ['audit', 'access', 'authority', 'clusters', 'nodes'],
  enrollment: ['audit', 'access', 'authority', 'clusters', 'nodes', 'trust', 'roles'],
  workloads: ['audit', 'access', 'authority', 'clusters', 'nodes', 'roles'],
  vpn: ['audit', 'access', 'authority', 'clusters', 'nodes', 'roles'],
  releases: ['audit', 'access', 'authority', 'clusters', 'nodes', 'roles'],
};
const LOWER = Object.keys(BELOW);
BELOW.rollouts = LOWER;
// Which files of releases are kept near nodes: roles and rollouts decide.
BELOW['update-caches'] = [...LOWER, 'rollouts'];
// These two read everything below, and nobody imports them.
BELOW.snapshots = [...LOWER, 'rollouts', 'update-caches'];
BELOW.overview = [...LOWER, 'rollouts'];

const arrows = Object.entries(BELOW).map(([module, below]) => ({
  name: `arrows-of-${module}`,
  comment: `${module} may import ${below.length === 0 ? 'no other module' : below.join(', ')}.`,
  severity: 'error',
  from: { path: `^src/modules/${module}/` },
  to: { path: '^src/modules/', pathNot: `^src/modules/(${[module, ...below].join('|')})/` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'common-knows-no-module',
      severity: 'error',
      from: { path: '^src/common/' },
      to: { path: '^src/(modules/|app)' },
    },
    ...arrows,
    {
      name: 'known-modules',
      comment: 'A new module gets its place among the arrows first.',
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/modules/(${Object.keys(BELOW).join('|')})/` },
      to: { path: '^src/modules/', pathNot: `^src/modules/(${Object.keys(BELOW).join('|')})/` },
    },
    {
      name: 'repositories-stay-inside',
      comment: 'A module is reached through its service or read model, never through its tables.',
      severity: 'error',
      from: { path: '^src/modules/([^/]+)/' },
      to: { path: '\\.repository\\.ts$', pathNot: '^src/modules/$1/' },
    },
    {
      name: 'nobody-imports-controllers',
      comment: 'Only the module that declares a controller does.',
      severity: 'error',
      from: { pathNot: '\\.module\\.ts$' },
      to: { path: '\\.controller\\.ts$' },
    },
    {
      name: 'controllers-know-no-tables',
      severity: 'error',
      from: { path: '\\.controller\\.ts$' },
      to: { path: '\\.repository\\.ts$' },
    },
    {
      name: 'agent-stands-alone',
      comment: 'The agent speaks to the service over HTTP only.',
      severity: 'error',
      from: { path: '^agent/' },
      to: { path: '^(src|test)/' },
    },
    { name: 'service-knows-no-agent', severity: 'error', from: { path: '^src/' }, to: { path: '^agent/' } },
    {
      name: 'no-circles',
      comment: 'A type may look back at what imports its file: it is gone at run time.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^(src|agent)/', pathNot: ['\\.spec\\.ts$', '\\.d\\.ts$'] },
      to: {},
    },
    {
      name: 'nothing-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'only-declared-packages',
      comment: 'What runs in production is among the dependencies, by its own name.',
      severity: 'error',
      from: { path: '^(src|agent)/', pathNot: '\\.spec\\.ts$' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'npm-optional', 'npm-peer'],
        dependencyTypesNot: ['npm', 'type-only'],
      },
    },
    {
      name: 'no-tests-in-production',
      severity: 'error',
      from: { path: '^(src|agent)/', pathNot: '\\.spec\\.ts$' },
      to: { path: '(\\.spec\\.ts$|^test/)' },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^src/generated'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      mainFields: ['module', 'main', 'types'],
    },
    moduleSystems: ['es6', 'cjs'],
  },
};
