package shm_test
import ("testing";"os";"github.com/seed-2e7ecdea/mp/internal/sys";"github.com/seed-2e7ecdea/mp/shm")
func TestZZ(t *testing.T){
	n:=name(t)
	seg:=closing(t,must(shm.Create(n,1024,nil))(t))
	other:=must(seg.Attach())(t)
	f:=must(os.OpenFile(filePath(n),os.O_RDWR,0))(t)
	defer f.Close()
	for i:=1;i<4;i++{ h,err:=sys.LockedByOther(f,1<<40+int64(i),1); t.Log(i,h,err)}
	other.Close()
	for i:=1;i<4;i++{ h,err:=sys.LockedByOther(f,1<<40+int64(i),1); t.Log(i,h,err)}
	x:=must(seg.Attach())(t)
	for i:=1;i<4;i++{ h,err:=sys.LockedByOther(f,1<<40+int64(i),1); t.Log(i,h,err)}
	x.Drop()
	for i:=1;i<4;i++{ h,err:=sys.LockedByOther(f,1<<40+int64(i),1); t.Log(i,h,err)}
}
