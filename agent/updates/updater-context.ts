import type { LoopContext } from '../loop.js';
import type { ServiceCatalogue } from '../supervisor/service-catalogue.js';
import type { Supervisor } from '../supervisor/supervisor.js';
import type { ArtifactSource } from './artifact-source.js';
import type { DataMigrations } from './data-migrations.js';
import type { InstalledReleases } from './installed-releases.js';
import type { ContentId } from './release-manifest.js';
import type { ReleasePins } from './release-pins.js';
import type { UpdateRecords } from './update-record.js';
import type { UpdateReporter } from './update-reporter.js';

/** What the updater of a product works with. */
export interface UpdaterContext extends LoopContext {
  records: UpdateRecords;
  reporter: UpdateReporter;
  releases: InstalledReleases;
  catalogue: ServiceCatalogue;
  supervisor: Supervisor;
  pins: ReleasePins;
  migrations: DataMigrations;
  /** Where a file comes from, in the order in which they are asked. */
  sourcesFor: (file: ContentId) => readonly ArtifactSource[];
  host: { os: string; arch: string };
}

/** Where an updater looks up and unpacks releases, before anything is out of service. */
export type ReleaseStore = Pick<InstalledReleases, 'current' | 'has' | 'stage'>;

/** The update must end here, and nothing has happened to the service. */
export class NotPossible extends Error {}
