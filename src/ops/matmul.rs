//! placeholder
use crate::{data::TensorDesc, error::Misfit, graph::{Op, Io, Emit, Backward, Gradients, Tensor}, kernel::{Target, Kernel, Dispatch, Params}, shader};
#[derive(Debug)] struct MatMul { ta: bool, tb: bool }
impl Op for MatMul {
 fn name(&self)->&'static str{"matmul"}
 fn infer(&self,x:&[TensorDesc])->Result<Vec<TensorDesc>,Misfit>{
  let [m,k]= if self.ta {[x[0].shape[1],x[0].shape[0]]} else {[x[0].shape[0],x[0].shape[1]]};
  let [k2,n]= if self.tb {[x[1].shape[1],x[1].shape[0]]} else {[x[1].shape[0],x[1].shape[1]]};
  if k!=k2 {return Err(Misfit::shape(format!("shapes {} and {} do not fit: {k} columns meet {k2} rows",x[0].shape,x[1].shape)))}
  Ok(vec![TensorDesc::new([m,n],x[0].dtype)]) }
 fn emit(&self, io:&Io,_t:&Target,out:&mut Emit)->Result<(),Misfit>{
  let [m,n]=[io.y_shape(0)[0],io.y_shape(0)[1]]; let k= if self.ta {io.x_shape(0)[0]} else {io.x_shape(0)[1]};
  let kern=Kernel::new(shader!("tmpmm"),"main",io.real());
  let (am,ak)= if self.ta {(1,m)} else {(k,1)}; let (bk,bn)= if self.tb {(1,k)} else {(n,1)};
  out.push(Dispatch::new(kern).read(io.x(0)).read(io.x(1)).write(io.y(0)).params(Params::new().all([m,n,k,am,ak,bk,bn])).groups((m*n).div_ceil(64) as u64).cost(2*(m*n*k) as u64, io.bytes()).finishing()); Ok(()) }
 fn backward(&self, at:&Backward)->Gradients{ let dy=at.dy(0); let g=|ta,tb,a:&Tensor,b:&Tensor| a.graph().apply1(MatMul{ta,tb},&[a,b]);
  let (a,b)=(at.x(0),at.x(1));
  let da= if self.ta { g(self.tb,true,b,&dy) } else { g(false,!self.tb,&dy,b) };
  let db= if self.tb { g(true,self.ta,&dy,a) } else { g(!self.ta,false,a,&dy) };
  Gradients::of([Some(da),Some(db)]) } }
impl Tensor { #[track_caller] pub fn matmul(&self,o:&Tensor)->Tensor{self.graph().apply1(MatMul{ta:false,tb:false},&[self,o])}
 #[track_caller] pub fn linear(&self,w:&Tensor,b:Option<&Tensor>)->Tensor{ let y=self.graph().apply1(MatMul{ta:false,tb:true},&[self,w]); match b {Some(b)=>y.add(b),None=>y} } }
