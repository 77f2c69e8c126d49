import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../transaction/tx.js';
import type { SnapshotItem, SnapshotSource } from './snapshot-source.js';
import type { SnapshotSubject } from './snapshot-subject.js';

/** The sources of snapshots: one of each module that brings something into them. */
@Injectable()
export class SnapshotSources {
  private readonly sources: SnapshotSource[] = [];

  add(source: SnapshotSource): void {
    this.sources.push(source);
  }

  /** What the modules tell, each item once. */
  async itemsOf(tx: ReadTx, subject: SnapshotSubject): Promise<Required<SnapshotItem>[]> {
    const items = new Map<string, Required<SnapshotItem>>();
    for (const source of this.sources) {
      for (const { pointer, causes, broughtBy = [] } of await source.itemsOf(tx, subject)) {
        const known = items.get(pointer) ?? { causes: [], broughtBy: [] };
        items.set(pointer, {
          pointer,
          causes: [...known.causes, ...causes],
          broughtBy: [...known.broughtBy, ...broughtBy],
        });
      }
    }
    return [...items.values()];
  }
}
