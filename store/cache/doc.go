// Package cache writes Redis: values with their TTL, beside the API nodes that
// read them.
//
// # The book
//
// Nothing older may ever overwrite anything newer, whatever is slow, killed or
// lost. What is written carries the stamp of the snapshot it was read in, and a
// book beside the cached keys, one Redis hash, knows what may still be written:
//
//	#n           the nonce: whoever armed before the book was lost gets an error
//	#r:<job>     the stamp of the newest run that writes or has written
//	#w:<job>     which run that was: only its manifest is trusted
//	#t           the longest life that the book was armed with
//	#p           when the newest field was written that has been pruned
//	<cache key>  stamp and time of its newest fence or refresh, for a while
//
// Arm comes before the snapshot: it reads the nonce and Redis' own time. A run
// then claims its job, which ends every older run. Put writes a batch: LOST if
// the nonce is another one, LATE after the deadline, SUPERSEDED by a newer run;
// a key that was fenced or refreshed above the stamp is OLD and left alone.
// Fence comes after a change: it raises the key's field and removes the value, or
// leaves it readable for a grace. A refresh writes its stamp into the field, a
// run never does, so that a key that never changes costs nothing.
//
// Beside the book is a set of the job's untracked keys, for what has come and gone
// between two runs: see Untracked. It decides about nothing but removals.
//
// Why it holds: a change X is visible in the snapshot of its fence, so every
// snapshot that misses X has a smaller stamp. A value put before the fence is
// removed by it. A put after it finds the field and is OLD; or the field is gone
// with the whole book, then the nonce is another one, and who arms later sees X;
// or it was pruned a life after the fence, then a put armed before the fence is
// past its deadline, which is half a life. Runs are ordered among each other by
// #r, refreshes and fences by the field, and a refresh after a run by #r. The
// book takes no TTL, so that an eviction policy for keys with a TTL spares it.
package cache
