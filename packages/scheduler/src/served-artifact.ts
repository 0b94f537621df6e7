/** What a device serves for a deployment. */
export type ServedArtifact = { artifact: string; variant: string; runtime: string }
