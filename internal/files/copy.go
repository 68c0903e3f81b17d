package files

import (
	"context"
	"encoding/hex"
	"log/slog"
	"time"

	"hufu"
	"hufu/internal/access"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// Copy copies the bytes, mode and time of the file from to the path to, and describes the copy. A
// mode or mtime that is not nil stands in for that of the file. With a version it copies only that
// version. The bytes do not leave the server. Everything that holds for a put of these bytes holds
// for it: rights, condition, durability. If another user uploaded from, some bits of the mode are
// removed. buf has space for a chunk. A copy that was interrupted, or for which the store was
// unavailable, is resumed by the next one.
func (v *View) Copy(ctx context.Context, from, to hufu.Path, version string, cond hufu.Condition, mode *uint32, mtime *time.Time, buf []byte) (hufu.Entry, error) {
	f, err := v.Open(ctx, from)
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = f.Close() }()
	source := f.Entry()
	if version != "" && !f.Is(version) {
		return hufu.Entry{}, fileChanged()
	}
	at, err := v.at(ctx, to, access.Create)
	if err != nil {
		return hufu.Entry{}, err
	}
	if e, err := at.store.Stat(ctx, at.path); err == nil { // refused before bytes are copied; the store decides
		switch {
		case e.Kind == hufu.Folder:
			return hufu.Entry{}, &hufu.Error{Op: "copy", Kind: hufu.KindWrongKind, Code: "folder_in_the_way"}
		case cond.Kind == hufu.IfAbsent:
			return hufu.Entry{}, &hufu.Error{Op: "copy", Kind: hufu.KindExists, Code: "target_exists"}
		}
	}
	m := blob.Meta{Mode: source.Mode, MTime: source.MTime}
	if mode != nil {
		m.Mode = *mode
	}
	if mtime != nil {
		m.MTime = *mtime
	}
	if access.ByOwner(from) && source.By != v.sub.User {
		m.Mode &^= 0o133 // as for a get: what others have uploaded becomes no program of this user, and nothing that others may write
	}
	if f.Size() <= hufu.ChunkSize {
		return v.copySmall(ctx, f, source, to, m, cond, buf)
	}
	return v.copyLarge(ctx, f, source, to, m, cond, buf)
}

func fileChanged() error {
	return &hufu.Error{Op: "copy", Kind: hufu.KindChanged, Code: "file_changed"}
}

// differs returns an error if the bytes that were read are not those that were stored.
func differs(source hufu.Entry, got hufu.Digest) error {
	if source.Digest.IsZero() || source.Digest == got {
		return nil
	}
	return &hufu.Error{
		Op: "copy", Kind: hufu.KindIntegrity, Code: "stored_digest_differs",
		Args: map[string]string{"stored": source.Digest.String(), "computed": got.String()},
	}
}

func (v *View) copySmall(ctx context.Context, f blob.File, source hufu.Entry, to hufu.Path, m blob.Meta, cond hufu.Condition, buf []byte) (hufu.Entry, error) {
	data, err := f.Whole(ctx, buf)
	if err == nil {
		err = f.Check(ctx)
	}
	if err != nil {
		return hufu.Entry{}, err
	}
	m.Digest = digest.Sum(data)
	if err := differs(source, m.Digest); err != nil {
		return hufu.Entry{}, err
	}
	b := v.Batch()
	b.Reserve(ctx, to, int64(len(data)))
	b.put(ctx, "copy", to, data, m, cond)
	r := b.Commit(context.WithoutCancel(ctx))[0]
	if r.Err != nil {
		return hufu.Entry{}, r.Err
	}
	return hufu.Entry{
		Name: to.Base(), Kind: hufu.File, Size: int64(len(data)), Mode: m.Mode, MTime: m.MTime, Digest: m.Digest, By: v.sub.User, Version: r.Version,
	}, nil
}

func (v *View) copyLarge(ctx context.Context, f blob.File, source hufu.Entry, to hufu.Path, m blob.Meta, cond hufu.Condition, buf []byte) (_ hufu.Entry, err error) {
	sum := digest.Sum([]byte(source.Version))
	u, err := v.OpenUpload(ctx, to, f.Size(), "copy-"+hex.EncodeToString(sum[:]))
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() {
		if err != nil && ctx.Err() == nil && hufu.KindOf(err) != hufu.KindUnavailable {
			_ = u.Abort() // another try would give the same error, or needs space first
			return
		}
		_ = u.Close()
	}()
	for i := u.Missing(0); i < digest.Chunks(f.Size()); i = u.Missing(i + 1) {
		data, _, cv, err := f.ReadChunk(ctx, i, buf)
		if err != nil {
			return hufu.Entry{}, err
		}
		if err := u.Write(ctx, i, data, cv); err != nil { // a hole has no data and stays one
			return hufu.Entry{}, err
		}
	}
	root, err := u.Root()
	if err == nil {
		err = differs(source, root)
	}
	if err == nil {
		err = f.Check(ctx)
	}
	if err != nil {
		return hufu.Entry{}, err
	}
	m.By, m.Upload, m.Digest = v.sub.User, u.Info().ID, root
	e, err := blob.CommitUpload(context.WithoutCancel(ctx), u, root, m, cond)
	if err == nil {
		v.s.puts.Add(1)
		v.logLine(ctx, event{op: "copy", path: to, size: e.Size}, slog.String("digest", e.Digest.String()))
	}
	return e, err
}
