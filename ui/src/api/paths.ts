/** What each path of the hub's description takes and answers, derived from `schema.ts`, which is generated. */
import type { paths } from './schema.js';

export type Method = 'get' | 'post' | 'patch' | 'delete';

/** The description does not say so, but every field of an answer is always there. */
export type Whole<T> = T extends readonly (infer Item)[]
  ? Whole<Item>[]
  : T extends object
    ? { [Name in keyof T]-?: Whole<Exclude<T[Name], undefined>> }
    : T;

/** The paths that know this method. */
export type PathOf<M extends Method> = {
  [Path in keyof paths]: paths[Path] extends Record<M, object> ? Path : never;
}[keyof paths];

type Operation<M extends Method, Path extends PathOf<M>> =
  paths[Path] extends Record<M, infer Found> ? Found : never;
type Content<T> = T extends { content: { 'application/json': infer Body } } ? Body : never;
type Good<Responses> = {
  [Status in keyof Responses]: Status extends 200 | 201 | 202 ? Content<Responses[Status]> : never;
}[keyof Responses];

/** The JSON of a good answer; undefined where there is none. */
export type Answer<M extends Method, Path extends PathOf<M>> =
  Operation<M, Path> extends { responses: infer Responses }
    ? [Good<Responses>] extends [never]
      ? undefined
      : Whole<Good<Responses>>
    : never;

/** Query parameters; what is null or undefined is not sent. */
export type Query<M extends Method, Path extends PathOf<M>> =
  Operation<M, Path> extends { parameters: { query?: infer Wanted } }
    ? { [Name in keyof NonNullable<Wanted>]?: NonNullable<Wanted>[Name] | null | undefined }
    : never;
