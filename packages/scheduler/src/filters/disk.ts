import type { Filter } from '../framework.ts'

/** Reads free disk: twice the artifact's size, so that a device is not filled to its last byte. */
export const diskFilter: Filter = {
  name: 'disk',
  reads: 'device.diskFreeBytes, device.artifacts, work.artifact.bytes',
  reject: ({ artifact }, device) =>
    artifact === null || device.artifacts.has(artifact.sha256) || artifact.bytes * 2 <= device.diskFreeBytes
      ? null
      : 'too little disk is free'
}
